from test_chain_bulk_water import *
import pickle
def test_x(analysed):
    pickle.dump((analysed.record, analysed.summary), open("/tmp/rec8.pkl","wb"))
    print("D", [f.rate/(q/1e6)**2 for f,q in zip(analysed.record.fits, analysed.record.rois.q_par)])
