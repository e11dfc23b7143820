import { Events, Schema } from '@livestore/livestore'

/** Every event of the chat has an id, its author and a time; names are made from a family and a version. */
const base = { id: Schema.String, by: Schema.String, at: Schema.DateFromNumber }

type Fields = Schema.Struct.Fields

export function event<const N extends string, const F extends Fields>(family: N, fields: F, version = 1) {
  return Events.synced({
    name: `v${version}.${family}` as `v1.${N}`,
    schema: Schema.Struct({ ...base, ...fields }),
  })
}

export const local = <const N extends string, const F extends Fields>(family: N, fields: F) =>
  Events.clientOnly({ name: `v1.${family}` as const, schema: Schema.Struct(fields) })
