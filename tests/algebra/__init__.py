from . import lawful_elementwise as lawful_elementwise  # its rows join those of `lawful.LAWFUL`
