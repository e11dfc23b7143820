import { Schema } from '@livestore/livestore'

export const Details = Schema.Struct({
  links: Schema.Array(Schema.String),
  note: Schema.optional(Schema.NullOr(Schema.String)),
})
