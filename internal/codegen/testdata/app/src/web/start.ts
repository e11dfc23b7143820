import type { Variant } from '../livestore/variant.ts'

/** What the page and its worker are told in the page's address. */
export type Start = {
  readonly variant: Variant
  readonly check?: boolean
  readonly fastPath?: boolean
  readonly stopAtEvent?: number
  /** The nth write to a file after the app's post hook, which needs variant.hooks. */
  readonly stopAtWrite?: number
}
