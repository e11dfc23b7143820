import { State } from '@livestore/livestore'
import { rankBetween } from 'fractional-rank'
import * as events from './events'
import { activity, comment, issue, label } from './tables'
import { type Change, Status } from './types'

const describe = (change: Change): string | undefined => {
  switch (change._tag) {
    case 'Assigned':
      return change.user === null ? 'unassigned' : `assigned to ${change.user}`
    case 'Estimated':
      return `${change.points.toFixed(1)} ${change.unit}`
    default:
      return undefined
  }
}

export const materializers = State.SQLite.materializers(events, {
  'v1.CreateIssue': (fields, { query }) => {
    const last = query(issue.select('kanbanorder').where({ status: fields.status, deleted: null }).orderBy('kanbanorder', 'desc').limit(1))
    return issue.insert({ ...fields, kanbanorder: rankBetween(last[0] ?? null, null) })
  },
  'v1.IssueMoved': ({ id, after, status, modified }, { query }) => {
    const column = query(issue.select('id', 'kanbanorder').where({ status, deleted: null, id: { op: '!=', value: id } }).orderBy('kanbanorder', 'asc'))
    const i = column.findLastIndex((row) => row.id === after)
    return issue.update({ status, modified, kanbanorder: rankBetween(column.at(i)?.kanbanorder ?? null, column[i + 1]?.kanbanorder ?? null) }).where({ id })
  },
  'v1.IssueChanged': ({ id, change, at }, { event: { seqNum } }) => {
    const note = describe(change)
    return [
      activity.insert({ key: `${id}/${String(seqNum.global)}`, issueId: id, change, at, ...(note === undefined ? {} : { note }) }),
      ...(change._tag === 'StatusChanged' ? [issue.update({ status: change.to, modified: at }).where({ id })] : []),
      ...(change._tag === 'Estimated' ? [issue.update({ estimate: change.points / 2 }).where({ id, status: { op: 'IN', value: [Status.Todo, Status.InProgress] } })] : []),
    ]
  },
  'v1.IssueDeleted': ({ id, deleted }) => [issue.update({ deleted }).where({ id }), comment.delete().where({ issueId: id })],
  'v1.LabelCreated': ({ id, name, color }) => label.insert({ id, name, ...(color && { color }) }).onConflict('name', 'ignore'),
  'v1.CommentAdded': (args) => comment.insert({ ...args, editedAt: null }),
})
