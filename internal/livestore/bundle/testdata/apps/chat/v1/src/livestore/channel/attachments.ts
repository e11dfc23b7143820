import { Schema } from '@livestore/livestore'

const Attachment = Schema.Union(
  Schema.Struct({ kind: Schema.Literal('image'), url: Schema.String, width: Schema.Int, height: Schema.Int }),
  Schema.Struct({ kind: Schema.Literal('file'), url: Schema.String, bytes: Schema.Number, name: Schema.NonEmptyString }),
)
export type Attachment = typeof Attachment.Type
export const Attachments = Schema.Array(Attachment)
