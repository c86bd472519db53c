// What the kernel and the front end's modules hand each other, for tsc (`make check`); no code.

/** Carries the traits and messages of an explorer: anywidget's model, or that of an exported page. */
interface Model {
  values?: Record<string, any>; parts?: Record<string, any>; // of a page
  get(trait: string): any;
  set(trait: string, value: any): void;
  save_changes(): void;
  send(question: object): void;
  on(event: string, act: Function): void;
  off(event: string, act: Function): void;
}

/** An array in the order of its shape. Whole numbers come in other arrays, which are used alike. */
interface Values { data: Float32Array; shape: number[] }

/** Where each array of a message is among its buffers. */
type Layout = Record<string, { dtype: string; shape: number[]; at: number }>;

/** An answer of the kernel to a question: the header and layout of its arrays, or what went wrong. */
interface Answer { key: string; header?: any; arrays?: Layout; error?: string }

/** What is kept of an answer of the kernel: its header, and its arrays by their names. */
type Entry = { header: any } & Record<string, any>;

/** A class of trials, or a number of each; -1 and null: the trial lacks it. */
interface Condition { labels?: string[]; code?: number[]; values?: (number | null)[] }

/** What is sent at opening: that of a record, of a staleness analysis, or of trainings. */
interface Overview {
  header: {
    task: string; core: string; dt: number; modulation: string; logits: boolean; page?: boolean;
    numbers: number[]; lengths: number[]; labels: string[]; titles: string[];
    channels: string[]; actions: string[]; periods: string[]; hidden: number; inputs?: number;
    conditions: Record<string, Condition>; colors: string[]; variables: string[];
    shows: Record<string, string>; scales: Record<string, any>;

    ages: number[]; window: number; without: string;
    strategies: { name: string; kind: string; label: string; early: boolean }[];
    measures: Record<string, Record<string, string>>; names: Record<string, string>;
    distances: Record<string, string>;

    record: string; axes: string; starts: any; gaps: number[]; records: string[]; checkpoints: number[];
    edits: { kinds: string[]; targets: string[]; states: string[] } | null;

    trial: number | null; waits: string;
    title: string; words: string; runs: { name: string; words: string }[]; last: number;
    panels: any[]; error: string;
  };
  time?: Values;
  W?: Values; eta?: Values; lam?: Values; M0?: Values; // [hidden, input]
  order?: Values;
}

/** A trial, or a mean over trials, at its steps. M_t = lam M_{t-1} + eta h_t x_t^T where x is sent. */
interface Detail {
  header: { trial?: number; periods: [string, number, number][]; conditions: string;
    averaged?: number; first?: number };
  obs?: Values; Q?: Values; h?: Values; reward?: Values; x?: Values; M?: Values; M_start?: Values;
  taken?: Values; greedy?: Values; truth?: Values; count?: Values; obs_sd?: Values; Q_sd?: Values;
  Q_stored?: Values; Q_replayed?: Values; greedy_stored?: Values; greedy_replayed?: Values;
  flipped?: Values; M_stored?: Values; h_sd?: Values; M_sd?: Values;
  dM?: Values; // M minus that of the first record
  s?: number; a?: number; flipped_all?: Values; // of a strategy, an age
}

/** The colours of a theme, `#rrggbb`, stops [r, g, b], and a map's as pixels. */
interface Theme {
  name: "light" | "dark"; ink: string; soft: string; line: string; paper: string; head: string;
  select: string; actions: string[]; channels: string[]; periods: string[];
  conditions: number[][]; diverging: number[][]; table: Uint32Array;
}

/** What a legend says of a line; a note is only words. */
interface LegendEntry { name: string; color?: string; dash?: boolean | number[]; note?: boolean; value?: string }

/** A linear scale with its inverse. */
interface Scale { (value: number): number; invert(at: number): number }

interface Element { mpn?: any } // the explorer in it

declare var mpnLoaded: Map<string, Promise<any>>; // the code of explorers, by itself

/** What a panel asks of its explorer. */
interface Shower {
  theme: Theme; ready(): boolean; schedule(): void; guard(act: () => void): void;
  readout(text: string | null, event?: PointerEvent): void;
  // of one with a time:
  select?(chosen: object): void; timeAt?(x: number): number; here?(): object; set?(values: object): void;
}

/** Limits of the axes, those of y from below to above. */
interface Limits { x?: number[]; y?: number[] }

/** A place in a panel: in pixels, and in the units of the axes. */
interface Place { px?: number; py?: number; x?: number; y?: number }

/** Where a panel draws: the context, the scales and limits of its axes, its box, the whole canvas. */
interface Plot {
  c?: CanvasRenderingContext2D; X: Scale; Y: Scale; x: number[]; y: number[]; theme: Theme;
  left: number; top: number; width: number; height: number; full: { width: number; height: number };
}

/** What an item is made of. */
interface Given {
  overview: Overview; detail: Detail; record: string; label: string; first: number; origin: number;
  number: number; trials: number[]; color: (theme: Theme) => string; unaligned: boolean;
}

type Items = import("./items.js").Item[];
