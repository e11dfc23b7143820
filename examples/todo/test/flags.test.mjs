// The flags that headgate exported, read by the app through OpenFeature, and the clamp in its emitter.
import '../scripts/production.mjs'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { OpenFeature } from '@openfeature/server-sdk'
import { app, load } from '../scripts/load.mjs'

const { appVersion, clamp, emittable, emitVersion, openFlags } = await load(join(app, 'src/flags.ts'))
const { commands } = await load(join(app, 'src/livestore/commands.ts'))
const exported = join(app, 'test/flags.json')
after(() => OpenFeature.close())

const add = () => commands.add.run(['Buy milk', 'home', 'high'])

test('a store gets the version that its place in the flag gives it', async () => {
  const flags = await openFlags(exported)
  assert.equal(await emitVersion(flags, 'TodoCreated', 'demo'), 'v2.TodoCreated') // listed
  assert.equal(await emitVersion(flags, 'TodoCreated', 'test-abc'), 'v2.TodoCreated') // bucket 20 of 100
  assert.equal(await emitVersion(flags, 'TodoCreated', 'user-2'), 'v1.TodoCreated') // bucket 35
  assert.equal(await emitVersion(flags, 'TodoCreated', ''), 'v1.TodoCreated')
})

test('the context is what headgate looks at', async () => {
  const flags = await openFlags(exported)
  const ask = (context) => flags.getStringDetails('event.TodoCreated', 'none', context)
  const now = await ask({ storeId: 'demo', appVersion })
  assert.deepEqual([now.value, now.variant, now.flagMetadata], ['v2.TodoCreated', 'v2', { 'headgate.rollout': 'todo-created-v2', version: '3' }])
  assert.equal((await ask({ storeId: 'demo', appVersion: '1.1.0-beta.1' })).variant, 'v2')
  assert.equal((await ask({ storeId: 'demo', appVersion: '1.0.0' })).variant, 'v1')
  assert.equal((await ask({ storeId: 'demo' })).variant, 'v1')
})

test('a todo is created in the version of its store', async () => {
  const flags = await openFlags(exported)
  const wanted = add()
  assert.equal(await emittable(flags, 'demo', wanted), wanted)
  const older = await emittable(flags, 'user-2', wanted)
  const { priority, ...rest } = wanted.args
  assert.equal(priority, 'high')
  assert.equal(older.name, 'v1.TodoCreated')
  assert.deepEqual(older.args, rest)
  const done = commands.done.run(['x'])
  assert.equal(await emittable(flags, 'user-2', done), done)
})

test('the emitter is clamped to what the build has', () => {
  const versions = ['v1.TodoCreated', 'v2.TodoCreated']
  assert.equal(clamp('v3.TodoCreated', versions), 'v2.TodoCreated')
  assert.equal(clamp('v2.TodoCreated', versions), 'v2.TodoCreated')
  assert.equal(clamp('v1.TodoCreated', versions), 'v1.TodoCreated')
  assert.equal(clamp('', versions), 'v1.TodoCreated')
  assert.equal(clamp('rubbish', versions), 'v1.TodoCreated')
})

test('without flags the oldest version is emitted', async () => {
  const problems = []
  const flags = await openFlags(join(app, 'test/none.json'), (problem) => problems.push(problem))
  assert.equal(problems.length, 1)
  assert.match(problems[0], /emitting the oldest versions/)
  assert.equal((await emittable(flags, 'demo', add())).name, 'v1.TodoCreated')
})
