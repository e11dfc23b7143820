
/**
 * What says that a migration ran in a store: each gets one row, from the first marker that arrives. The app lists all three:
 *
 *     events: { …, migrationRan }      tables: { …, migrationsTable }
 *     materializers(events, { …, __MARKER_EVENT__: recordMigration })
 */
export const migrationRan = Events.synced({
  name: __MARKER_EVENT__,
  schema: Schema.Struct({ id: Schema.String, migration: Schema.String, checksum: Schema.String, events: Schema.Int }),
})

export const migrationsTable = State.SQLite.table({
  name: __MARKER_TABLE__,
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    migration: State.SQLite.text(),
    checksum: State.SQLite.text(),
    events: State.SQLite.integer(),
  },
})

/** The first marker wins: clients that ran a migration while they were offline each bring one. */
export const recordMigration = ({ id, migration, checksum, events }: typeof migrationRan.schema.Type) =>
  migrationsTable.insert({ id, migration, checksum, events }).onConflict('id', 'ignore')
