import { Schema } from '@livestore/livestore'

export const Priority = Schema.Literal(0, 1, 2, 3, 4).annotations({ title: 'Priority' })
export enum Status { Backlog = 'backlog', Todo = 'todo', InProgress = 'in_progress', Done = 'done', Canceled = 'canceled' }
export const StatusSchema = Schema.Enums(Status)

export const Change = Schema.Union(
  Schema.TaggedStruct('StatusChanged', { from: StatusSchema, to: StatusSchema }),
  Schema.TaggedStruct('Assigned', { user: Schema.NullOr(Schema.String) }),
  Schema.TaggedStruct('Estimated', { points: Schema.Number.pipe(Schema.between(0, 100)), unit: Schema.optionalWith(Schema.Literal('points', 'hours'), { default: () => 'points' as const }) }),
)
export type Change = typeof Change.Type

export class User extends Schema.Class<User>('users')({
  id: Schema.String.pipe(Schema.brand('UserId')),
  name: Schema.String,
}) {}
