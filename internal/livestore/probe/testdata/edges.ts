// Materializers that don't survive what their event's schema admits, each beside one that does.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'

const things = State.SQLite.table({
  name: 'things',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    count: State.SQLite.integer({ nullable: true }),
    weight: State.SQLite.real({ nullable: true }),
    name: State.SQLite.text({ default: '' }),
  },
})
const tags = State.SQLite.table({
  name: 'tags',
  columns: { id: State.SQLite.text({ primaryKey: true }), tag: State.SQLite.text({ primaryKey: true }) },
})
const struct = <F extends Schema.Struct.Fields>(fields: F) => Schema.Struct({ id: Schema.String, ...fields })
const event = <N extends string, S extends Schema.Schema<any, any>>(name: N, schema: S) => Events.synced({ name, schema })
const Shape = Schema.Union(Schema.TaggedStruct('circle', { radius: Schema.Number }), Schema.TaggedStruct('box', { width: Schema.Number }))

const events = {
  created: event('v1.Created', struct({})),
  numberIntoInteger: event('v1.NumberIntoInteger', struct({ n: Schema.Number })),
  intIntoInteger: event('v1.IntIntoInteger', struct({ n: Schema.Int })),
  numberIntoReal: event('v1.NumberIntoReal', struct({ n: Schema.Number })),
  emptyName: event('v1.EmptyName', struct({ name: Schema.String })),
  filledName: event('v1.FilledName', struct({ name: Schema.NonEmptyString })),
  absentNote: event('v1.AbsentNote', struct({ note: Schema.optional(Schema.String) })),
  handledNote: event('v1.HandledNote', struct({ note: Schema.optional(Schema.String) })),
  nullName: event('v1.NullName', struct({ name: Schema.NullOr(Schema.String) })),
  tagsTwice: event('v1.TagsTwice', struct({ tags: Schema.Array(Schema.String) })),
  tagsIgnored: event('v1.TagsIgnored', struct({ tags: Schema.Array(Schema.String) })),
  oneMember: event('v1.OneMember', struct({ shape: Shape })),
  allMembers: event('v1.AllMembers', struct({ shape: Shape })),
  missingRow: event('v1.MissingRow', struct({})),
  invalidDate: event('v1.InvalidDate', struct({ at: Schema.DateFromString })),
  endless: event('v1.Endless', struct({ n: Schema.Int })),
  validDate: event('v1.ValidDate', struct({ at: Schema.Date })),
  guarded: event('v1.Guarded', struct({ n: Schema.Number.pipe(Schema.filter((n) => Number.isSafeInteger(n) && n > 0)) })),
}

const materializers = State.SQLite.materializers(events, {
  'v1.Created': ({ id }) => things.insert({ id }), // no conflict clause: another finding's matter
  'v1.NumberIntoInteger': ({ id, n }) => things.update({ count: n }).where({ id }),
  'v1.IntIntoInteger': ({ id, n }) => things.update({ count: n }).where({ id }),
  'v1.NumberIntoReal': ({ id, n }) => things.update({ weight: n }).where({ id }),
  'v1.EmptyName': ({ id, name }) => things.update({ name: name[0]!.toUpperCase() }).where({ id }),
  'v1.FilledName': ({ id, name }) => things.update({ name: name[0]!.toUpperCase() }).where({ id }),
  'v1.AbsentNote': ({ id, note }) => things.update({ count: note!.length }).where({ id }),
  'v1.HandledNote': ({ id, note }) => things.update({ count: note?.length ?? null }).where({ id }),
  'v1.NullName': ({ id, name }) => ({ sql: 'UPDATE things SET name = ? WHERE id = ?', bindValues: [name, id] as any }),
  'v1.TagsTwice': (args) => args.tags.map((tag) => tags.insert({ id: args.id, tag })),
  'v1.TagsIgnored': (args) => args.tags.map((tag) => tags.insert({ id: args.id, tag }).onConflict(['id', 'tag'], 'ignore')),
  'v1.OneMember': ({ id, shape }) => things.update({ weight: (shape as any).radius.valueOf() }).where({ id }),
  'v1.AllMembers': ({ id, shape }) => things.update({ weight: shape._tag === 'box' ? shape.width : shape.radius }).where({ id }),
  'v1.MissingRow': ({ id }, { query }) => {
    const thing = query(things.where({ id }).first())
    return things.update({ name: thing!.name.trim() }).where({ id })
  },
  'v1.InvalidDate': ({ id, at }) => things.update({ name: at.toISOString() }).where({ id }),
  'v1.Endless': ({ id, n }) => {
    while (n >= 2147483648) {
      // waits for what never comes
    }
    return things.update({ count: n }).where({ id })
  },
  'v1.ValidDate': ({ id, at }) => things.update({ name: at.toISOString() }).where({ id }),
  'v1.Guarded': ({ id, n }) => things.update({ count: n }).where({ id }),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { things, tags }, materializers }) })
