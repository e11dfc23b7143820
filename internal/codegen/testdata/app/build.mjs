// node build.mjs GENERATED OUT [ENTRY]: bundles the node client, or another one, with the given headgate.generated.ts.
// LiveStore is bundled too, since loading its hundreds of modules takes longer than a run; what finds files beside itself
// stays outside.
import { build } from 'esbuild'

const [generated, outdir, entry] = process.argv.slice(2)
await build({
  entryPoints: entry === undefined ? ['src/node/main.ts', 'src/node/worker.ts'] : [entry],
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  external: ['@livestore/wa-sqlite', '@livestore/devtools-vite', 'vite', 'msgpackr-extract'],
  banner: { js: "import { createRequire as requireHere } from 'node:module'; const require = requireHere(import.meta.url);" },
  platform: 'node',
  format: 'esm',
  target: 'node20',
  mainFields: ['module', 'main'],
  minifySyntax: true,
  define: { 'process.env.NODE_ENV': '"production"' },
  logLevel: 'error',
  plugins: [
    {
      name: 'generated',
      setup: (b) => b.onResolve({ filter: /headgate\.generated\.ts$/ }, () => ({ path: generated })),
    },
  ],
})
