import { make } from './schema.ts'
export const schema = make({ strategy: 'auto', hooks: { pre: async (db: any) => db.execute('CREATE TABLE late (a)') } })
