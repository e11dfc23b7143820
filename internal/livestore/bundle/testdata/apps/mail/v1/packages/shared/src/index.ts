export * from './ids.js'
export { Address, Flags, Label } from '#lib/address'
export { snippet } from './snippet.js'
