import { computed, queryDb } from '@livestore/livestore'
import { tables } from './schema'

export const uiState$ = queryDb(tables.uiState.get(), { label: 'uiState' })

export const visibleTodos$ = queryDb(
  (get) => {
    const { filter } = get(uiState$)
    return tables.todos.where({ deletedAt: null, completed: filter === 'all' ? undefined : filter === 'completed' })
  },
  { label: 'visibleTodos' },
)

export const incomplete$ = queryDb(tables.todos.where({ completed: false, deletedAt: null }).count(), { label: 'incomplete' })
export const isEmpty$ = computed((get) => get(incomplete$) === 0, { label: 'isEmpty' })
