/** What a walking process is told at its start. */
export interface Errand {
  type: "errand";
  seed: number;
  /** How often the errands of this walk began before: no two draw the same chances. */
  life: number;
  /** Of the gateway. */
  url: string;
  /** Of the storage. */
  directory: string;
  names: string[];
  /**
   * Operations that the application knows to be done, and only has to let go of the
   * keys.
   */
  letGo: string[];
  /**
   * Whether the names are given to the client; else the operations are known by what their requests
   * say.
   */
  named: boolean;
  /**
   * Whether this process may let go of keys while the walk goes on: not if another one walks the
   * same names.
   */
  finishes: boolean;
  /** Whether the storage works and each operation is gone through to its end. */
  mended: boolean;
}

/**
 * What the application behind a walking process learns. It is stored before the process goes on.
 */
export type Note =
  /** The operation is done, as the client says. */
  | { type: "done"; name: string; status: number; key: string; replayed: boolean }
  /** A final response says that nothing was done. */
  | { type: "rejected"; name: string; status: number; key: string }
  /** The application is about to let go of the key of what is done. */
  | { type: "finishing"; name: string }
  /** The records that the storage contains at the end. */
  | { type: "left"; records: string[] }
  /** A result that says nothing of its outcome. */
  | { type: "mute"; name: string; result: string }
  /** How a call ended that is not final. */
  | { type: "open"; name: string; result: string }
  /** The operations that the client still has under way. */
  | { type: "pending"; names: string[] }
  | { type: "over" };
