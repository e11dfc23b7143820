import { Schema } from '@livestore/livestore'
import { customAlphabet, nanoid } from 'nanoid'

export const IssueId = Schema.NonEmptyString.pipe(Schema.brand('IssueId'))
export type IssueId = typeof IssueId.Type
export const newIssueId = () => nanoid() as IssueId
export const shortCode = customAlphabet('0123456789abcdefghijkmnpqrstuvwxyz', 6)
export const bootId = nanoid()
