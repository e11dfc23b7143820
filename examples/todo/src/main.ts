// The todo app on the command line. It keeps its store under .data and syncs when TODO_SYNC_URL is set.
//
//   TODO_DATA       where the store lies (default .data)
//   TODO_STORE      which store (default todo)
//   TODO_CLIENT     this installation's client id (default: the host's name)
//   TODO_SYNC_URL   ws://… of a sync backend;  TODO_SYNC_TOKEN   its token
//   TODO_FLAGS      a flagd file from `headgate flags export` that says which versions of events to emit
import { createStorePromise, makeShutdownDeferred } from '@livestore/livestore'
import { Cause, Deferred, Effect, LogLevel } from 'effect'
import { WebSocket } from 'undici'
import { emittable, openFlags } from './flags.ts'
import { adapterFor } from './livestore/adapter.ts'
import { commands } from './livestore/commands.ts'
import { inbox$, todosInList, ui$ } from './livestore/queries.ts'
import { schema } from './livestore/schema.ts'

const { TODO_DATA, TODO_STORE, TODO_CLIENT, TODO_SYNC_URL, TODO_SYNC_TOKEN, TODO_FLAGS } = process.env

const storeId = TODO_STORE ?? 'todo'

const shutdown = await Effect.runPromise(makeShutdownDeferred)

const openStore = () => {
  // Node 20 has no WebSocket of its own.
  ;(globalThis as { WebSocket?: unknown }).WebSocket ??= WebSocket
  return createStorePromise({
    schema,
    storeId,
    disableDevtools: true,
    logLevel: LogLevel.None,
    shutdownDeferred: shutdown,
    ...(TODO_SYNC_TOKEN === undefined ? {} : { syncPayload: { authToken: TODO_SYNC_TOKEN } }),
    adapter: adapterFor({ baseDirectory: TODO_DATA ?? '.data', clientId: TODO_CLIENT, syncUrl: TODO_SYNC_URL }),
  })
}

/** Fails when LiveStore shuts the store down by itself, with its reason; never ends otherwise. */
const stopped = async (): Promise<never> => {
  const exit = await Effect.runPromise(Effect.exit(Deferred.await(shutdown)))
  if (exit._tag === 'Success' && exit.value.reason === 'manual') return new Promise(() => {})
  throw new Error(`LiveStore stopped: ${exit._tag === 'Success' ? exit.value.reason : Cause.squash(exit.cause)}`)
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
    const { session, leader } = await store._dev.syncStates()
    const local = leader.pending.filter((event) => event.seqNum.client !== 0) // client-only events stay here for good
    if (session.pending.length === 0 && leader.pending.length === local.length) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  console.error('todo: not everything has reached the backend yet; it will with a later start')
}

const usage = [
  'usage: npm start -- list [LIST]',
  ...Object.values(commands).map((command) => `       npm start -- ${command.usage}`),
].join('\n')

const main = async ([name = 'list', ...args]: string[]): Promise<number> => {
  const command = Object.entries(commands).find(([key]) => key === name)?.[1]
  if (name === 'help') {
    console.log(usage)
    return 0
  }
  if (command === undefined && name !== 'list') {
    console.error(usage)
    return 2
  }
  const wanted = command?.run(args)
  const event =
    wanted === undefined || TODO_FLAGS === undefined ? wanted : await emittable(await openFlags(TODO_FLAGS), storeId, wanted)
  const store = await openStore()
  try {
    if (event !== undefined) store.commit(event)
    if (TODO_SYNC_URL !== undefined) await pushed(store)
    print(store, args[0] !== undefined && name === 'list' ? args[0] : store.query(ui$).list)
  } finally {
    await store.shutdownPromise()
  }
  return 0
}

try {
  process.exitCode = await Promise.race([main(process.argv.slice(2)), stopped()])
} catch (error) {
  console.error(`todo: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
}
