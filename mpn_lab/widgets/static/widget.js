/**
 * What anywidget loads for each explorer: the code that draws, loaded once on a page. A browser keeps
 * every module that it has loaded, also those of explorers that are gone.
 */

/** @type {Map<string, Promise<any>>} */
const loaded = globalThis.mpnLoaded ??= new Map();

export default {
  /** @param {{ model: Model, el: HTMLElement }} place */
  async render({ model, el }) {
    const code = model.get("_code");
    if (!loaded.has(code)) {
      const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
      loaded.set(code, import(url).finally(() => URL.revokeObjectURL(url)));
    }
    const { default: explorer } = await loaded.get(code);
    return explorer.render({ model, el });
  },
};
