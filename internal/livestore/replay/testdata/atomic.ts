import { make } from './schema.ts'
// What headgate generates: the whole rebuild is one transaction.
export const schema = make({
  strategy: 'auto',
  hooks: {
    init: (db: any) => (db.execute('PRAGMA cache_spill=OFF'), db.execute('BEGIN')),
    post: (db: any) => db.execute('COMMIT'),
  },
})
