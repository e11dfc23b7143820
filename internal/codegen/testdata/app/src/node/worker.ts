// The leader in a worker thread, for makeWorkerAdapter.
import { getWorkerArgs, makeWorker } from '@livestore/adapter-node/worker'
import { makeAppSchema } from '../livestore/schema.ts'
import type { Variant } from '../livestore/variant.ts'

const { extraArgs } = getWorkerArgs() as { extraArgs: Variant }
makeWorker({ schema: makeAppSchema(extraArgs, { onEvent: () => {}, onHook: () => {} }) })
