import ticketsearch
from ticketsearch.callbacks import TensorBoard

ticketsearch.run("sa", budget=60, orders=1, callbacks=[TensorBoard("logs")])
