import type { MigrationOptions } from '../livestore/headgate.generated.ts'

/** What the page and its worker are told in the page's address. Without url the client is offline. */
export type Start = {
  readonly url?: string
  readonly token: string
  readonly storeId: string
  /** The page begins when the client knows what the backend has up to here. */
  readonly head?: number
  readonly migrate?: MigrationOptions
}
