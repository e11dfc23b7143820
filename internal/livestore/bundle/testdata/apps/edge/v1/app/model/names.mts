export const kinds = ['a', 'b', 'c'] as const
export const nameOf = <N extends string, V extends number>(family: N, version: V) => `v${version}.${family}` as const
