import { defineConfig } from 'vite'

const generated = process.env['GENERATED'] ?? ''

export default defineConfig({
  worker: { format: 'es', plugins: () => [useGenerated()] },
  plugins: [useGenerated()],
  build: { target: 'es2022', outDir: process.env['OUT_DIR'] ?? 'dist', emptyOutDir: true, chunkSizeWarningLimit: 4000 },
  logLevel: 'warn',
})

function useGenerated() {
  return {
    name: 'generated',
    enforce: 'pre' as const,
    resolveId: (id: string) => (id.endsWith('headgate.generated.ts') ? generated : undefined),
  }
}
