import { make } from './schema.ts'
// headgate's hooks around an app's own.
export const schema = make({
  strategy: 'auto',
  hooks: {
    init: (db: any) => {
      db.execute('PRAGMA cache_spill=OFF')
      db.execute('BEGIN')
      db.execute('CREATE TABLE notes (at TEXT, n INTEGER) STRICT')
    },
    pre: (db: any) => {
      db.execute(`CREATE TRIGGER counted AFTER INSERT ON plain BEGIN INSERT INTO notes VALUES ('insert', length(new.text)); END`)
      db.execute('INSERT INTO notes VALUES (?, ?)', ['pre', db.select('SELECT count(*) AS n FROM plain')[0].n])
    },
    post: (db: any) => {
      db.execute('INSERT INTO notes VALUES ($at, $n)', { $at: 'post', $n: db.select('SELECT count(*) AS n FROM plain')[0].n })
      db.execute('COMMIT')
    },
  },
})
