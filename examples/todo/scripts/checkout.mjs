// Puts a release's schema into the working tree:  node scripts/checkout.mjs 1.1.0
import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const app = join(dirname(fileURLToPath(import.meta.url)), '..')
const version = process.argv[2] ?? ''
const from = join(app, 'history', version, 'livestore')
if (version === '' || !existsSync(join(from, 'schema.ts'))) {
  console.error(`usage: node scripts/checkout.mjs ${readdirSync(join(app, 'history')).join('|')}`)
  process.exit(2)
}
const to = join(app, 'src/livestore')
rmSync(to, { recursive: true, force: true })
cpSync(from, to, { recursive: true })
console.log(`src/livestore is ${version}`)
