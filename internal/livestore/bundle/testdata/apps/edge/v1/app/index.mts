export * from './store'
export { default } from './store'
export const version = '1'
