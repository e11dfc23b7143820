import { make } from './schema.ts'
export const schema = make({ strategy: 'manual', migrate: (old: Uint8Array) => old })
