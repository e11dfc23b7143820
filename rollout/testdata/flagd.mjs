// Answers with flagd's own JavaScript evaluator: node flagd.mjs APP < question > answers. APP is a directory whose
// packages have @openfeature/flagd-core; the question and the answers are as in ../flagdtest/main.go.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'

const require = createRequire(join(resolve(process.argv[2]), 'package.json'))
const { FlagdCore, MemoryStorage } = require('@openfeature/flagd-core')

const quiet = { error() {}, warn() {}, info() {}, debug() {} }
const { flagd, cases } = JSON.parse(readFileSync(0, 'utf8'))
const storage = new MemoryStorage(quiet)
storage.setConfigurations(JSON.stringify(flagd), true) // throws at what flagd's schemas refuse
const core = new FlagdCore(storage, quiet)

const ask = {
  number: (flag, context) => core.resolveNumberEvaluation(flag, 0, context),
  boolean: (flag, context) => core.resolveBooleanEvaluation(flag, false, context),
  string: (flag, context) => core.resolveStringEvaluation(flag, '', context),
}
const answers = cases.map(({ flag, type, context }) => {
  const { value, variant = '', reason, errorCode } = ask[type](flag, context ?? {})
  return { value, variant, reason, error: errorCode }
})
process.stdout.write(JSON.stringify(answers))
