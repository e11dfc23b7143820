export const withHeadgate = <T>(state: T): T => state
