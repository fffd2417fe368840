import type { ComponentProps } from 'react'

const looks = {
  primary: 'bg-accent text-on-accent hover:opacity-90 px-3.5',
  quiet: 'border border-line bg-surface hover:border-accent hover:text-accent px-3',
  plain: 'text-muted hover:text-accent px-2',
}

interface Props extends ComponentProps<'button'> {
  look?: keyof typeof looks
}

export function Button({ look = 'quiet', className = '', type = 'button', ...rest }: Props) {
  const shape =
    'min-h-9 rounded-lg text-sm font-medium transition-colors disabled:opacity-45 inline-flex items-center gap-2 shrink-0'
  return <button {...rest} type={type} className={`${shape} ${looks[look]} ${className}`} />
}
