import { makeSchema, Schema, State } from '@livestore/livestore'
import { event } from '../lib/factory.ts'

const Role = Schema.Enums({ Owner: 'owner', Member: 'member', Guest: 'guest' } as const)

export const events = {
  channelCreated: event('ChannelCreated', { title: Schema.String.pipe(Schema.maxLength(80)), topic: Schema.optional(Schema.String) }),
  channelArchived: event('ChannelArchived', {}),
  memberJoined: event('MemberJoined', { role: Role, profile: Schema.Struct({ name: Schema.String, avatar: Schema.optional(Schema.String) }) }),
  memberRoleChanged: event('MemberRoleChanged', { role: Role }, 2),
}

export const tables = {
  channels: State.SQLite.table({
    name: 'channels',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      title: State.SQLite.text(),
      slug: State.SQLite.text({ default: '' }),
      topic: State.SQLite.text({ nullable: true }),
      archivedAt: State.SQLite.datetime({ nullable: true }),
    },
  }),
  members: State.SQLite.table({
    name: 'members',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      role: State.SQLite.text({ schema: Role }),
      name: State.SQLite.text(),
      profile: State.SQLite.json({ schema: Schema.Struct({ name: Schema.String, avatar: Schema.optional(Schema.String) }) }),
      joinedAt: State.SQLite.integer({ schema: Schema.DateFromNumber }),
    },
  }),
}

const slugOf = (title: string) =>
  title.normalize('NFD').replace(/\p{Diacritic}/gu, '').toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '-').replace(/^-|-$/g, '')

const materializers = State.SQLite.materializers(events, {
  'v1.ChannelCreated': ({ id, title, topic }) => tables.channels.insert({ id, title, slug: slugOf(title), topic: topic ?? null }),
  'v1.ChannelArchived': ({ id, at }) => tables.channels.update({ archivedAt: at }).where({ id }),
  'v1.MemberJoined': ({ by, at, role, profile }) => tables.members.insert({ id: by, role, name: profile.name, profile, joinedAt: at }).onConflict('id', 'update', { role, profile }),
  ...({ 'v2.MemberRoleChanged': ({ id, role }: any) => tables.members.update({ role }).where({ id }) } as any),
})

export const workspaceSchema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })
