import { Schema } from '@livestore/livestore'

export const MessageId = Schema.String.pipe(Schema.pattern(/^<[^<>\s]+@[^<>\s]+>$/), Schema.brand('MessageId'))
export const ThreadId = Schema.String.pipe(Schema.brand('ThreadId'))
export type ThreadId = typeof ThreadId.Type
