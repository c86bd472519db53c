// Formats the front end's modules with TypeScript's own formatter, which leaves line breaks alone:
//
//     node scripts/format_front_end.cjs [--check]
//
// With --check nothing is written; the exit code is 1 where something would be. Lines that are too
// long and single quotes are said in either case. The modules are those of jsconfig.json.

const { execSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

const LONGEST = 110;

const tsc = fs.realpathSync(execSync("command -v tsc", { encoding: "utf8" }).trim());
const ts = require(path.join(path.dirname(tsc), "../lib/typescript.js"));
const settings = {
  ...ts.getDefaultFormatCodeSettings("\n"), indentSize: 2, tabSize: 2,
  insertSpaceAfterOpeningAndBeforeClosingEmptyBraces: false, semicolons: "insert",
};
const root = path.dirname(__dirname);
const { config } = ts.readConfigFile(path.join(root, "jsconfig.json"), ts.sys.readFile);
const { fileNames } = ts.parseJsonConfigFileContent(config, ts.sys, root);
const modules = fileNames.filter((name) => name.endsWith(".js"));
const service = ts.createLanguageService({
  getCompilationSettings: () => ({ allowJs: true, noLib: true }),
  getCurrentDirectory: () => root,
  getDefaultLibFileName: () => "",
  getScriptFileNames: () => modules,
  getScriptSnapshot: (name) => ts.ScriptSnapshot.fromString(ts.sys.readFile(name) ?? ""),
  getScriptVersion: () => "1",
  fileExists: ts.sys.fileExists, readFile: ts.sys.readFile,
});
const check = process.argv.includes("--check");

for (const file of modules) {
  const found = ts.sys.readFile(file), edits = service.getFormattingEditsForDocument(file, settings);
  let text = found;
  for (const { span, newText } of edits.reverse()) {
    text = text.slice(0, span.start) + newText + text.slice(span.start + span.length);
  }
  const say = (at, words) => {
    const line = text.slice(0, at).split("\n").length;
    console.log(`${path.relative(root, file)}:${line}: ${words}`);
    process.exitCode = 1;
  };
  if (text !== found) {
    const at = [...text].findIndex((character, k) => character !== found[k]);
    if (check) say(at, "is not formatted (make format)"); else fs.writeFileSync(file, text);
  }
  let at = 0;
  for (const line of text.split("\n")) {
    if (line.length > LONGEST) say(at, `has ${line.length} characters, more than ${LONGEST}`);
    at += line.length + 1;
  }
  const visit = (node) => {
    const quote = ts.isStringLiteral(node) && node.getText(tree)[0];
    if (quote === "'" && !node.text.includes('"')) say(node.getStart(tree), "has single quotes");
    ts.forEachChild(node, visit);
  };
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.ES2022);
  visit(tree);
}
