// What this release of the app commits. main.ts offers each of these on the command line.
import { nanoid } from '@livestore/livestore'
import { events } from './events.ts'

const date = (text: string) => {
  const day = new Date(text)
  if (Number.isNaN(day.getTime())) throw new Error(`not a date: ${text}`)
  return day
}

export const commands = {
  add: {
    usage: 'add TEXT [LIST] [low|normal|high]',
    run: ([text, list, priority]: string[]) =>
      events.todoCreatedV2({
        id: nanoid(),
        text: text ?? '',
        createdAt: new Date(),
        list,
        priority: priority === 'low' || priority === 'high' ? priority : 'normal',
      }),
  },
  done: { usage: 'done ID', run: ([id]: string[]) => events.todoCompleted({ id: id ?? '' }) },
  reopen: { usage: 'reopen ID', run: ([id]: string[]) => events.todoReopened({ id: id ?? '' }) },
  rename: {
    usage: 'rename ID TEXT',
    run: ([id, text]: string[]) => events.todoRenamed({ id: id ?? '', text: text ?? '' }),
  },
  due: {
    usage: 'due ID [DATE]',
    run: ([id, day]: string[]) => events.todoScheduled({ id: id ?? '', dueAt: day === undefined ? null : date(day) }),
  },
  move: {
    usage: 'move ID LIST',
    run: ([id, list]: string[]) => events.todoMoved({ id: id ?? '', list: list ?? 'inbox', position: 0 }),
  },
  archive: { usage: 'archive ID', run: ([id]: string[]) => events.todoArchived({ id: id ?? '' }) },
  delete: {
    usage: 'delete ID',
    run: ([id]: string[]) => events.todoDeleted({ id: id ?? '', deletedAt: new Date() }),
  },
  clear: {
    usage: 'clear LIST',
    run: ([list]: string[]) => events.listCleared({ list: list ?? 'inbox', deletedAt: new Date() }),
  },
  show: { usage: 'show LIST', run: ([list]: string[]) => events.uiSet({ list: list ?? 'inbox' }) },
}
