import 'react-native-get-random-values'
import icon from '@assets/icon.png'
import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import * as Crypto from 'expo-crypto'
import * as SQLite from 'expo-sqlite'
import { Platform, StyleSheet, Text, View } from 'react-native'
import slugger from 'slugger'
import en from './en.json'

const styles = StyleSheet.create({ row: { flexDirection: 'row', padding: Platform.select({ ios: 8, default: 4 }) } })
export const isIos = Platform.OS === 'ios'
export const newId = () => Crypto.randomUUID()
export const openCache = () => SQLite.openDatabaseSync('cache.db')

export const links = State.SQLite.table({
  name: 'links',
  columns: {
    id: State.SQLite.text({ primaryKey: true }),
    url: State.SQLite.text(),
    host: State.SQLite.text({ default: '' }),
    slug: State.SQLite.text({ default: '' }),
    title: State.SQLite.text({ default: en.untitled }),
    tags: State.SQLite.json({ schema: Schema.Array(Schema.String), default: [] }),
    params: State.SQLite.json({ schema: Schema.Record({ key: Schema.String, value: Schema.String }), nullable: true }),
    savedAt: State.SQLite.datetime(),
  },
})
export const settings = State.SQLite.clientDocument({
  name: 'settings',
  schema: Schema.Struct({ dense: Schema.Boolean, sort: Schema.optional(Schema.Literal('new', 'old')) }),
  default: { id: 'device', value: { dense: false, sort: 'new' } },
})

export const events = {
  linkSaved: Events.synced({ name: 'v1.LinkSaved', schema: Schema.Struct({ id: Schema.String, url: Schema.String, title: Schema.optional(Schema.String), savedAt: Schema.Date }) }),
  linkTagged: Events.synced({ name: 'v1.LinkTagged', schema: Schema.Struct({ id: Schema.String, tags: Schema.Array(Schema.String) }) }),
}

const materializers = State.SQLite.materializers(events, {
  'v1.LinkSaved'({ id, url, title, savedAt }) {
    const { host, searchParams } = new URL(url)
    searchParams.sort()
    return links.insert({ id, url: new URL('.', url).href, host, slug: slugger(title ?? host), title: title ?? en.untitled, params: Object.fromEntries(searchParams), savedAt })
  },
  'v1.LinkTagged': ({ id, tags }) => links.update({ tags: tags.toSorted((a, b) => a.localeCompare(b, undefined, { sensitivity: 'base', numeric: true })) }).where({ id }),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables: { links, settings }, materializers }) })

export const Row = ({ title }: { title: string }) => (
  <View style={styles.row}>
    <Text>{title}</Text>
    <Text>{String(icon)}</Text>
  </View>
)
