import { computed, queryDb } from '@livestore/livestore'
import { tables } from './schema'

export const filterState$ = queryDb(tables.filterState.get(), { label: 'global.filterState' })
export const issueCount$ = queryDb(tables.issue.count().where({ deleted: null }), { label: 'global.issueCount' })
export const filteredIssueIds$ = queryDb(
  (get) => {
    const filter = get(filterState$)
    return tables.issue.select('id').where({ deleted: null }).orderBy(filter.orderBy, filter.orderDirection)
  },
  { label: 'List.visibleIssueIds' },
)
export const issueComments$ = (issueId: string) => queryDb(tables.comment.where('issueId', issueId).orderBy('createdAt', 'desc'), { deps: [issueId] })
export const isEmpty$ = computed((get) => get(issueCount$) === 0, { label: 'global.isEmpty' })
