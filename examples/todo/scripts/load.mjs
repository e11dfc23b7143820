// Runs the app's TypeScript on Node: bundles a module with esbuild and imports the bundle. LiveStore and Effect stay
// outside of the bundle and come from this app's node_modules, wherever the module lies.
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'

export const app = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** Whether the module at url is the program that was started, and not imported by another. */
export const isMain = (url) => url === pathToFileURL(realpathSync(process.argv[1])).href

/** Bundles what options name and imports it. */
const bundle = async (options) => {
  const cache = join(app, '.build')
  mkdirSync(cache, { recursive: true })
  const dir = mkdtempSync(join(cache, 'run-'))
  try {
    const outfile = join(dir, 'module.mjs')
    await build({
      ...options,
      outfile,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      external: ['@livestore/*', 'effect', '@effect/*', '@openfeature/*', 'undici'],
      sourcemap: 'inline',
      logLevel: 'error',
    })
    return await import(pathToFileURL(outfile).href)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Imports the TypeScript module at path and gives its exports. */
export const load = (path) => bundle({ entryPoints: [resolve(path)] })

/** The schema folder of a release of this app. */
export const release = (version) => join(app, 'history', version, 'livestore')

/** Everything that a release of this app exports, as one instance. */
export const loadRelease = (version) => {
  const resolveDir = release(version)
  const files = ['schema', 'events', 'tables', 'telemetry', 'headgate.generated'].filter((name) => existsSync(join(resolveDir, `${name}.ts`)))
  const contents = files.map((name) => `export * from './${name}.ts'`).join('\n')
  return bundle({ stdin: { contents, resolveDir, loader: 'ts' } })
}
