import { queryDb } from '@livestore/livestore'
import { tables } from './tables.ts'

const { todos, todoTags, drafts, ui } = tables

export const todosInList = (list: string) =>
  todos
    .select('id', 'text', 'completed', 'priority', 'dueAt')
    .where({ list, deletedAt: null })
    .orderBy([
      { col: 'position', direction: 'asc' },
      { col: 'id', direction: 'asc' },
    ])

export const inbox$ = queryDb(todosInList('inbox'), { label: 'inbox' })

export const dueBefore = (day: Date) =>
  queryDb(
    todos
      .select('id', 'text', 'dueAt')
      .where({ dueAt: { op: '<', value: day }, completed: false })
      .orderBy('dueAt', 'asc'),
    { label: 'dueBefore', deps: [day.getTime()] },
  )

export const todoById = (id: string) => todos.where({ id }).first()

export const tagsOf = (todoId: string) => todoTags.select('tagId').where({ todoId })

export const draft = (id: string) => drafts.select('text').where({ id }).first()

export const ui$ = queryDb(ui.get(), { label: 'ui' })
