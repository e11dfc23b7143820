import { Schema } from '@livestore/livestore'
import { event, local } from '../lib/factory.ts'
import { Attachments } from './attachments.ts'

export const messageCreated = event('MessageCreated', { text: Schema.String, attachments: Schema.optionalWith(Attachments, { default: () => [] }), replyTo: Schema.NullOr(Schema.String) })
export const messageEdited = event('MessageEdited', { text: Schema.String })
export const messageDeleted = event('MessageDeleted', {})
export const reactionAdded = event('ReactionAdded', { message: Schema.String, emoji: Schema.String })
export const reactionRemoved = event('ReactionRemoved', { message: Schema.String, emoji: Schema.String })
export const readMarkerMoved = event('ReadMarkerMoved', { message: Schema.String })
export const draftChanged = local('DraftChanged', { channel: Schema.String, text: Schema.String })
