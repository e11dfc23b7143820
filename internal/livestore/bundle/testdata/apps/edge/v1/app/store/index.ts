export { default } from './create'
export { default as storeSchema } from './create'
