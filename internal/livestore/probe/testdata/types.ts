// One event per kind of argument that apps write, each materialized as a whole.
import { Events, makeSchema, Schema, State } from '@livestore/livestore'

enum Level { Low, Mid = 5, High }
enum Mood { Good = 'good', Bad = 'bad' }

interface Tree { readonly name: string; readonly children: ReadonlyArray<Tree> }
const Tree: Schema.Schema<Tree> = Schema.Struct({ name: Schema.String, children: Schema.Array(Schema.suspend(() => Tree)) })

class Person extends Schema.Class<Person>('Person')({ name: Schema.String, age: Schema.Int }) {}

const args = {
  strings: Schema.Struct({
    plain: Schema.String,
    filled: Schema.NonEmptyString,
    short: Schema.String.pipe(Schema.maxLength(10)),
    ranged: Schema.String.pipe(Schema.minLength(3), Schema.maxLength(5)),
    exact: Schema.String.pipe(Schema.length(8)),
    trimmed: Schema.Trimmed,
    trim: Schema.Trim,
    lower: Schema.Lowercased,
    upper: Schema.Uppercased,
    capitalized: Schema.Capitalized,
    starts: Schema.String.pipe(Schema.startsWith('todo-')),
    ends: Schema.String.pipe(Schema.endsWith('.md')),
    includes: Schema.String.pipe(Schema.includes('@')),
    uuid: Schema.UUID,
    ulid: Schema.ULID,
    template: Schema.TemplateLiteral('user-', Schema.Number),
    branded: Schema.String.pipe(Schema.brand('TodoId')),
    char: Schema.Char,
  }),
  patterns: Schema.Struct({
    color: Schema.String.pipe(Schema.pattern(/^#[0-9a-f]{6}$/)),
    slug: Schema.String.pipe(Schema.pattern(/^[a-z0-9]+(?:-[a-z0-9]+)*$/)),
    code: Schema.String.pipe(Schema.pattern(/^(ab|cd)\d+\s?x$/i)),
    email: Schema.String.pipe(Schema.pattern(/^\S+@\S+\.\S+$/)),
  }),
  numbers: Schema.Struct({
    number: Schema.Number,
    finite: Schema.Finite,
    int: Schema.Int,
    positive: Schema.Positive,
    natural: Schema.NonNegativeInt,
    negative: Schema.Negative,
    between: Schema.Number.pipe(Schema.between(1, 5)),
    greater: Schema.Number.pipe(Schema.greaterThan(10)),
    small: Schema.Int.pipe(Schema.lessThan(100), Schema.greaterThanOrEqualTo(-7)),
    step: Schema.Number.pipe(Schema.multipleOf(5)),
    uint8: Schema.Uint8,
    text: Schema.NumberFromString,
  }),
  dates: Schema.Struct({
    date: Schema.Date,
    loose: Schema.DateFromString,
    ms: Schema.DateFromNumber,
    utc: Schema.DateTimeUtc,
    utcMs: Schema.DateTimeUtcFromNumber,
  }),
  others: Schema.Struct({
    flag: Schema.Boolean,
    big: Schema.BigInt,
    bytes: Schema.Uint8ArrayFromBase64,
    hex: Schema.Uint8ArrayFromHex,
    raw: Schema.Uint8Array,
    url: Schema.URL,
    json: Schema.parseJson(Schema.Struct({ a: Schema.Number })),
    bool: Schema.BooleanFromString,
    not: Schema.Not,
    duration: Schema.DurationFromMillis,
    unit: Schema.Null,
    nothing: Schema.optional(Schema.Undefined),
    any: Schema.Any,
    unknown: Schema.Unknown,
    object: Schema.Object,
  }),
  unions: Schema.Struct({
    literal: Schema.Literal('low', 'normal', 'high'),
    mixed: Schema.Literal('a', 1, true, null),
    level: Schema.Enums(Level),
    mood: Schema.Enums(Mood),
    either: Schema.Union(Schema.String, Schema.Number),
    tagged: Schema.Union(
      Schema.TaggedStruct('circle', { radius: Schema.Number }),
      Schema.TaggedStruct('box', { width: Schema.Number, height: Schema.Number }),
    ),
    nullable: Schema.NullOr(Schema.Int),
    undefinable: Schema.UndefinedOr(Schema.String),
    nullish: Schema.NullishOr(Schema.String),
    option: Schema.OptionFromNullOr(Schema.String),
    optionSelf: Schema.Option(Schema.Number),
  }),
  collections: Schema.Struct({
    list: Schema.Array(Schema.String),
    filled: Schema.NonEmptyArray(Schema.Int),
    ranged: Schema.Array(Schema.Number).pipe(Schema.minItems(2), Schema.maxItems(4)),
    pair: Schema.Tuple(Schema.String, Schema.Int),
    optionalPair: Schema.Tuple(Schema.String, Schema.optionalElement(Schema.Int)),
    restPair: Schema.Tuple([Schema.String], Schema.Number),
    record: Schema.Record({ key: Schema.String, value: Schema.Number }),
    keyed: Schema.Record({ key: Schema.Literal('a', 'b'), value: Schema.Boolean }),
    patternKeyed: Schema.Record({ key: Schema.TemplateLiteral('k-', Schema.String), value: Schema.String }),
    map: Schema.Map({ key: Schema.String, value: Schema.Int }),
    set: Schema.Set(Schema.String),
    open: Schema.Struct({ a: Schema.String }, { key: Schema.String, value: Schema.Unknown }),
  }),
  optionals: Schema.Struct({
    optional: Schema.optional(Schema.String),
    nullable: Schema.optional(Schema.NullOr(Schema.Int)),
    withDefault: Schema.optionalWith(Schema.Number, { default: () => 7 }),
    nullDefault: Schema.optionalWith(Schema.String, { default: () => 'x', nullable: true }),
    exact: Schema.optionalWith(Schema.String, { exact: true }),
    asOption: Schema.optionalWith(Schema.Date, { as: 'Option' }),
    renamed: Schema.propertySignature(Schema.String).pipe(Schema.fromKey('old_name')),
  }),
  tree: Tree,
  person: Person,
  opaque: Schema.Struct({
    even: Schema.Number.pipe(Schema.filter((n) => n % 2 === 0)),
    odd: Schema.String.pipe(Schema.filter((s) => s.startsWith('secret:'))),
  }),
  composed: Schema.Struct({
    split: Schema.split(','),
    clamped: Schema.Number.pipe(Schema.clamp(0, 10)),
    composed: Schema.compose(Schema.NumberFromString, Schema.Int),
    own: Schema.transform(Schema.String, Schema.Number, { decode: (s) => s.length, encode: (n) => 'x'.repeat(n) }),
    trimmedFilled: Schema.compose(Schema.Trim, Schema.NonEmptyString),
  }),
  nothing: Schema.Struct({}),
  void: Schema.Void,
  text: Schema.String,
} as const

const events = Object.fromEntries(
  Object.entries(args).map(([k, schema]) => [k, Events.synced({ name: `v1.${k}`, schema: schema as any })]),
)
const seen = State.SQLite.table({ name: 'seen', columns: { id: State.SQLite.integer({ primaryKey: true }) } })
const materializers = State.SQLite.materializers(events as any, Object.fromEntries(Object.keys(args).map((k) => [`v1.${k}`, () => []])) as any)

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { seen }, materializers }) })
