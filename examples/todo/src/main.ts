// The todo app on the command line. It keeps its store under .data and syncs when TODO_SYNC_URL is set.
//
//   TODO_DATA       where the store lies (default .data)
//   TODO_STORE      which store (default todo)
//   TODO_CLIENT     this installation's client id (default: the host's name)
//   TODO_SYNC_URL   ws://… of a sync backend;  TODO_SYNC_TOKEN   its token
import { makeAdapter } from '@livestore/adapter-node'
import { createStorePromise } from '@livestore/livestore'
import { makeWsSync } from '@livestore/sync-cf/client'
import { LogLevel } from 'effect'
import { WebSocket } from 'undici'
import { commands } from './livestore/commands.ts'
import { inbox$, todosInList, ui$ } from './livestore/queries.ts'
import { schema } from './livestore/schema.ts'

const { TODO_DATA, TODO_STORE, TODO_CLIENT, TODO_SYNC_URL, TODO_SYNC_TOKEN } = process.env

const openStore = () => {
  // Node 20 has no WebSocket of its own.
  ;(globalThis as { WebSocket?: unknown }).WebSocket ??= WebSocket
  return createStorePromise({
    schema,
    storeId: TODO_STORE ?? 'todo',
    disableDevtools: true,
    logLevel: LogLevel.Warning,
    ...(TODO_SYNC_TOKEN === undefined ? {} : { syncPayload: { authToken: TODO_SYNC_TOKEN } }),
    adapter: makeAdapter({
      storage: { type: 'fs', baseDirectory: TODO_DATA ?? '.data' },
      ...(TODO_CLIENT === undefined ? {} : { clientId: TODO_CLIENT }),
      sync: {
        ...(TODO_SYNC_URL === undefined ? {} : { backend: makeWsSync({ url: TODO_SYNC_URL }) }),
        // A backend that forgot its events must not take ours along, and a sync that stopped must be seen.
        onBackendIdMismatch: 'shutdown',
        onSyncError: 'shutdown',
        initialSyncOptions: { _tag: 'Blocking', timeout: 5000 },
      },
    }),
  })
}

type Store = Awaited<ReturnType<typeof openStore>>

const print = (store: Store, list: string | undefined) => {
  const todos = store.query(list === undefined ? inbox$ : todosInList(list))
  for (const todo of todos) {
    const due = todo.dueAt === null ? '' : `  due ${todo.dueAt.toISOString().slice(0, 10)}`
    console.log(`${todo.completed ? '[x]' : '[ ]'} ${todo.id}  ${todo.text}${due}`)
  }
  if (todos.length === 0) console.log('(nothing)')
}

/** Waits, for some seconds at most, until the backend has what was committed. */
const pushed = async (store: Store) => {
  for (const end = Date.now() + 5000; Date.now() < end; ) {
    const { leader } = await store._dev.syncStates()
    if (leader.pending.every((event) => event.seqNum.client !== 0)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  console.error('todo: not everything has reached the backend yet; it will with a later start')
}

const usage = () => {
  console.error(`usage: npm start -- list [LIST]\n${Object.values(commands).map((c) => `       npm start -- ${c.usage}`).join('\n')}`)
  return 2
}

const main = async ([name = 'list', ...args]: string[]): Promise<number> => {
  const command = Object.entries(commands).find(([key]) => key === name)?.[1]
  if (command === undefined && name !== 'list') return usage()
  const store = await openStore()
  try {
    if (command !== undefined) store.commit(command.run(args))
    if (TODO_SYNC_URL !== undefined) await pushed(store)
    print(store, args[0] !== undefined && name === 'list' ? args[0] : store.query(ui$).list)
  } finally {
    await store.shutdownPromise()
  }
  return 0
}

process.exitCode = await main(process.argv.slice(2))
