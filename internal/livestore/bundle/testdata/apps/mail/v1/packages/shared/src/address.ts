import { Schema } from '@livestore/livestore'

export class Address extends Schema.Class<Address>('Address')({
  name: Schema.optionalWith(Schema.String, { default: () => '' }),
  email: Schema.String.pipe(Schema.pattern(/^[^@\s]+@[^@\s]+$/)),
}) {
  get domain() {
    return this.email.slice(this.email.lastIndexOf('@') + 1).toLowerCase()
  }
  override toString() {
    return this.name === '' ? this.email : `${this.name} <${this.email}>`
  }
}

export enum Label {
  Inbox = 'INBOX',
  Sent = 'SENT',
  Trash = 'TRASH',
}

export namespace Flags {
  export const Seen = 1
  export const Flagged = 2
  export const Answered = 4
  export const has = (flags: number, flag: number) => (flags & flag) !== 0
}
