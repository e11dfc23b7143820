// Runs a TypeScript module:  node scripts/run.mjs src/main.ts ARGUMENT…
import './production.mjs'
import { load } from './load.mjs'

const [entry] = process.argv.splice(2, 1)
if (entry === undefined) {
  console.error('usage: node scripts/run.mjs MODULE.ts [ARGUMENT…]')
  process.exit(2)
}
await load(entry)
// A store whose backend can't be reached keeps timers running after its shutdown: end the process.
process.exit()
