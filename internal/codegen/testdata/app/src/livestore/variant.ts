/** Which version of the app runs: the proofs start the same code as an older and as a newer release. */
export type Variant = {
  /** Knows v2.ItemAdded; a release that does not skips such events. The tables are the same. */
  readonly v2?: boolean
  /** Has the bug: writes 10 times the number. */
  readonly bug?: boolean
  /** Has one more column, so that the state hash moves. */
  readonly column?: boolean
  /** Goes without withHeadgate. */
  readonly bare?: boolean
  /** Bytes of padding in each row. */
  readonly pad?: number
  /** The app's own migration hooks. */
  readonly hooks?: 'record' | 'promise' | 'effect' | 'throw-init' | 'throw-post' | 'begin' | 'foreign-keys'
  readonly manual?: boolean
  /** The materializer throws at this many calls. */
  readonly throwAt?: number
}
