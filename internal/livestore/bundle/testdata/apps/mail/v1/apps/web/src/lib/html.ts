const entities: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', nbsp: ' ' }
export const stripHtml = (html: string) =>
  html.replace(/<style\b[^]*?<\/style>/gi, '').replace(/<br\s*\/?>/gi, '\n').replace(/<[^>]+>/g, '').replace(/&(?:#(\d+)|([a-z]+));/g, (all, code, name) => (code ? String.fromCodePoint(Number(code)) : (entities[name] ?? all)))
