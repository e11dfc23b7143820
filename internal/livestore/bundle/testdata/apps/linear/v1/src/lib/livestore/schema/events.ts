import { Events, Schema } from '@livestore/livestore'
import { IssueId } from './ids'
import { Change, Priority, StatusSchema } from './types'

export const createIssue = Events.synced({
  name: 'v1.CreateIssue',
  schema: Schema.Struct({
    id: IssueId,
    title: Schema.String,
    priority: Priority,
    status: StatusSchema,
    created: Schema.DateFromNumber,
    modified: Schema.DateFromNumber,
    creator: Schema.String,
  }),
})
export const issueMoved = Events.synced({
  name: 'v1.IssueMoved',
  schema: Schema.Struct({ id: IssueId, after: Schema.NullOr(Schema.String), status: StatusSchema, modified: Schema.DateFromNumber }),
})
export const issueChanged = Events.synced({ name: 'v1.IssueChanged', schema: Schema.Struct({ id: IssueId, change: Change, at: Schema.DateFromNumber }) })
export const issueDeleted = Events.synced({ name: 'v1.IssueDeleted', schema: Schema.Struct({ id: IssueId, deleted: Schema.DateFromNumber }) })
export const labelCreated = Events.synced({ name: 'v1.LabelCreated', schema: Schema.Struct({ id: Schema.String, name: Schema.Trim, color: Schema.optional(Schema.String) }) })
export const commentAdded = Events.synced({
  name: 'v1.CommentAdded',
  schema: Schema.Struct({ id: Schema.String, issueId: IssueId, body: Schema.String.pipe(Schema.maxLength(10_000)), createdAt: Schema.Date }),
})
