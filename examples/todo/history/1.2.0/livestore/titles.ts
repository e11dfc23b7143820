/** Pasted titles come with line breaks and runs of blanks. */
export const tidyTitle = (text: string): string => text.trim().replace(/\s+/g, ' ')
