import { make } from './schema.ts'
export const schema = make()
