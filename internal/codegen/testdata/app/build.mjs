// node build.mjs GENERATED OUT: bundles the node client with the given headgate.generated.ts; packages stay outside.
import { build } from 'esbuild'

const [generated, outdir] = process.argv.slice(2)
await build({
  entryPoints: ['src/node/main.ts', 'src/node/worker.ts'],
  outdir,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  plugins: [
    {
      name: 'generated',
      setup: (b) => b.onResolve({ filter: /headgate\.generated\.ts$/ }, () => ({ path: generated })),
    },
  ],
})
